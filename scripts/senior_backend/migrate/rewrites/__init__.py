"""Rewrites: an unsafe migration becomes a sequence of files that never blocks the application.

One module per transformation. Each has `OPERATIONS`, the kinds of operations it knows, and
`rewrite(operation, context)`, which returns the steps, None where the operation is safe as it stands, or `Unknown`
where no online form exists or something must be known first.
"""
