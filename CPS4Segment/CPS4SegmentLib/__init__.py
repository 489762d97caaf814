"""What the module is made of: the client of the worker, the scene layer and the panel."""
