"""What survives the process: one SQLite file, written by one thread of one process.

A change is on the disk before it is answered (WAL, synchronous=FULL). Reads and decisions never come here.
"""
