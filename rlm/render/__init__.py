"""What turns a trajectory into something to look at elsewhere: safe HTML, pages, traces, spans."""
