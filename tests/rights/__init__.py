"""Who may act is asked when a request was read: tried from outside, on the real service."""
