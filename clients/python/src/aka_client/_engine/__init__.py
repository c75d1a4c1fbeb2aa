"""The part that both clients share. It does no input or output of its own: a driver does.

All of it runs under the lock of its driver (or in one event loop). It never waits.
"""
