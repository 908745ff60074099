"""The same models in the libraries that a reader would otherwise use; needs `.[peers]`."""
