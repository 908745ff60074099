"""How the book is executed, rendered and checked: the commands behind the Makefile."""
