"""Commands of `limen`, each group in a file of its own."""
