"""The server that run.py puts around a file of functions."""
