"""The only room that holds a key: what it may be used for is checked argument by argument before it is."""
