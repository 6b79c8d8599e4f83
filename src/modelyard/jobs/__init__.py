"""Background work: what is done, by which process, and how each kind of it stands.

    tasks       the table of kinds: name, function, trigger or period, lease, limit of time, fairness, process
    kinds       what a kind is, and what its function is given
    worker      takes due work of the kinds of one process, renews its lease, ends what hangs, notes failures
    executors   where a function runs: in a child process that can be killed, or in a thread
    loop        the one loop: the rule for errors, back-off and stopping
    supervisor  the processes of a server: started, replaced, stopped

A new kind is one row in ``tasks.KINDS`` and one function. The function gets ``Resources`` (what its process has open)
and a ``Run`` (which piece of work, and whether to stop), and returns the seconds after which it wants to run again, or
None. It raises ``Unavailable`` where something it needs is away: the work is tried again and no attempt is counted. Any
other error is a failed attempt.

Every piece of work is a row of the table ``jobs`` (``store.jobs``), so `modelyard jobs`, ``/status`` and ``/metrics``
show all kinds. A function may be killed at any instant and run again: what it changes it changes in one transaction, or
in steps that can be repeated. Work that returns belongs to the catalogue (one row, an empty subject) or to each node (a
row for each node), where files and segments of one machine are concerned.
"""
