"""Files of other systems: how they are read, understood, and turned into commands, row by row and without a database."""
