"""Hostile data in every column and in every member of an event, and every loop over it."""
