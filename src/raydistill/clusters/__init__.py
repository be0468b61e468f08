"""Files that describe a cluster, checked before anybody pays for it: `raydistill cluster check`.

    documents.py   YAML with the line of every key; what a file is
    kuberay.py     RayCluster and RayJob against KubeRay's own schema, every object closed
    rules.py       the project's rules: pinned images, no secret, nobody on every address, non-root
    dockerfile.py  the same of Dockerfiles

Ray's validator of cluster-launcher files is in `runners/launcher.py`, the only door to Ray.
"""
