"""The entities: what their bodies may say, how edits merge, what refers to what, and the rows for the core.

An edit is read into a record, the record into a row of resolved facts; the core publishes the rows, and only
then do the records change. Nothing here decides about a request.
"""
