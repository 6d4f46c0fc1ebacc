"""Starting jobs from the admin: forms made of the declared parameters, submitted through the API's own services."""
