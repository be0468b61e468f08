"""Types whose blocks are always of one shape: others in their files are a damage, told at once.

Of every other type, whose config tells layers apart under one of many names, blocks that are not
the model's are found when it is loaded.
"""

from collections.abc import Mapping
from typing import Any

_ALIKE = """
apertus arcee biogpt bitnet bloom codegen cohere cohere2 ctrl cwm doge ernie4_5 exaone4 falcon
flex_olmo gemma gemma2 gemma3_text glm glm4 gpt2 gpt_bigcode gpt_neo gpt_neox gpt_oss gptj
granite granitemoe granitemoeshared helium hunyuan_v1_dense jais2 jetmoe llama ministral
ministral3 mistral mixtral mpt nemotron olmo olmo2 olmo3 olmoe openai-gpt opt persimmon phi
phi3 phimoe qwen2 qwen3 seed_oss smollm3 stablelm starcoder2 vaultgemma xglm
"""


def may_differ(fields: Mapping[str, Any]) -> bool:
    """Whether blocks of a model may be of several shapes, by its language model's config."""
    return str(fields.get("model_type")) not in _ALIKE.split()
