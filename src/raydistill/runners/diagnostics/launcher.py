"""Ray's own validator of cluster-launcher files."""

from collections.abc import Mapping
from typing import Any

from jsonschema import ValidationError
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.runtime_env import RuntimeEnv


def launcher_problem(config: Mapping[str, Any]) -> tuple[tuple[str | int, ...], str]:
    """Where and why Ray refuses a cluster-launcher file; an empty reason if it does not.

    A cloud's own description of a node (`node_config`) is not checked.
    """
    try:
        validate_config(prepare_config(dict(config)))
    except ValidationError as error:
        return tuple(error.absolute_path), error.message
    except Exception as error:  # noqa: BLE001  (it raises all kinds)
        return (), f"Ray refuses it: {error}"
    return (), ""


def runtime_env_fields() -> frozenset[str]:
    """What a runtime_env.yaml may hold."""
    return frozenset(RuntimeEnv.known_fields)
