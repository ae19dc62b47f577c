"""Reading services.yaml: text -> nodes with places -> typed services, with every problem of the file at once."""
