-- Since when somebody lets a batch be halved until the event is found that its receiver refuses.
ALTER TABLE batches ADD COLUMN bisect_since INTEGER;
