"""What the first page of the admin tells, gathered in a number of queries that does not grow with the rows."""
