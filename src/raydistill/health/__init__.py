"""What `raydistill doctor` looks at on the machine where it is called.

    packages  what this package needs, and what is here
    disk      the storage: written, read, how fast, how much is left
    keys      files with tokens: there where needed, and for their owner alone

Each returns `Finding`s; what it takes a cluster to see is in `runners/nodes.py`.
"""

from raydistill.health.finding import Finding, Level

__all__ = ["Finding", "Level"]
