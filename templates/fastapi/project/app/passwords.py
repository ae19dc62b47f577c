"""Password hashes: a few at a time, because each takes 19 MiB and some 20 ms of a core."""

import os

from app.patterns.passwords import Passwords

_passwords = Passwords(parallel=max(2, (os.cpu_count() or 2) // 2))
hash_password = _passwords.hash
verify_password = _passwords.verify
