"""What the SQL engines share: named statements."""
