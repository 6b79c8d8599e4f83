"""Background work of the server: its kinds, its processes and its state.

    tasks       the table of kinds: name, function, trigger or period, lease, limit of time, fairness, process
    kinds       the class of a kind, and the arguments of its function
    worker      takes due jobs of one process, renews leases, kills hung jobs, records failures
    executors   run functions in a child process, which can be killed, or in a thread
    loop        the loop with the rules for errors, back-off and stopping
    supervisor  starts, replaces and stops the processes of a server

A new kind is one row in ``tasks.KINDS`` and one function. The function gets ``Resources`` (the open resources of its
process) and a ``Run`` (the job, and whether to stop). It returns the seconds until its next run, or None. It raises
``Unavailable`` if something that it needs is away: the worker then tries again and counts no attempt. Any other error
is a failed attempt.

Every job is a row of the table ``jobs`` (``store.jobs``), so `modelyard jobs`, ``/status`` and ``/metrics`` show all
kinds. A worker may kill a function at any instant and run it again, so a function makes its changes in one transaction,
or in steps that can be repeated. Work that returns belongs to the catalogue (one row, an empty subject). If it concerns
files and segments of one machine, it belongs to each node (one row per node).
"""
