"""The resident worker, `cps4 worker`: keeps a model loaded and answers requests of another program.

The Slicer extension starts `PythonSlicer -m CPS4Core worker`, so that neither torch nor a crash
gets into Slicer's own process, and the second case does not wait for the model. JSON objects, one
a line, UTF-8: requests on standard input, answers on standard output; standard error is a log.
Whatever a library prints goes to standard error.

The first line out, before anything heavy is imported:

    {"event": "ready", "protocol": 1, "version": "0.1.0"}

Lines in:

    {"id": "7", "command": "segment", "arguments": {...}}   `id`: a string or a whole number
    {"command": "cancel", "id": "7"}                        waiting: at once; running: at its next
                                                            safe point; finished or unknown: nothing
    {"command": "shutdown"}                                 ends the worker, as the end of the input
                                                            does, also while a request runs: exit 0

Requests run one after the other. Lines out for a request carry its `id`: first the events of
CPS4Core.progress (`start`, `step`, `end`, `message`, `metric`), then exactly one of

    {"id": "7", "event": "result", "result": {...}}
    {"id": "7", "event": "failed", "message": "What is wrong. What to do.", "internal": false}
    {"id": "7", "event": "cancelled"}

`internal` is true for a defect of the program; its traceback is in the log. A line that is no
request, or lacks its id, fails with the id null. Whatever happens, the worker goes on with the next
request. What is still waiting at a shutdown is cancelled.

Commands are the modules named in `server.COMMANDS`: each declares its `Arguments` (names, types and
defaults; others are refused) and says in the docstring of `run` what comes back. What they keep
between requests is in `loaded`.
"""

PROTOCOL = 1
