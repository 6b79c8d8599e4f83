"""Background work: what is to be done, by whom, and the processes that do it."""
