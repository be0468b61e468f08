"""Whether a checkpoint's head is its embedding, as transformers finds on loading it.

Where a config says so, and the weights hold both with other values, transformers keeps both.
"""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raydistill.models.huggingface.safetensors_header import Shapes, tensor_pieces

_HEADS = ("lm_head.weight", "embed_out.weight")
_EMBEDDINGS = ("embed", "wte")  # within the name of one
_TIED_BY_DEFAULT = """
bart bert bert-generation big_bird bigbird_pegasus biogpt blenderbot blenderbot-small bloom
camembert cohere cohere2 cohere2_moe cohere_compass_text cpmant ctrl data2vec-text electra
ernie ernie4_5 ernie4_5_moe falcon falcon_mamba gemma gemma2 gemma3 gemma3_text gemma3n
gemma3n_text gemma4 gemma4_text gemma4_unified gemma4_unified_assistant gemma4_unified_text
got_ocr2 gpt-sw3 gpt2 gpt_bigcode gpt_neo gpt_neox_japanese granite_swa jetmoe lfm2 lfm2_moe
lfm3 mamba marian mbart megatron-bert minicpm3 modernbert-decoder moss_transcribe_diarize
mpt mvp openai-gpt opt pegasus plbart prophetnet recurrent_gemma roberta
roberta-prelayernorm roc_bert roformer smollm3 starcoder2 trocr vaultgemma whisper xglm xlm
xlm-roberta xlm-roberta-xl xlnet xmod youtu zamba zamba2 zaya
"""  # types of transformers 5.23; others have a head of their own unless their config says so


def says_tied(fields: Mapping[str, Any]) -> bool:
    """Whether a config.json says that head and embedding are one matrix, if only by its type."""
    stated = fields.get("tie_word_embeddings")
    return fields["model_type"] in _TIED_BY_DEFAULT.split() if stated is None else bool(stated)


def ties_head(fields: Mapping[str, Any], files: Mapping[Path, Shapes]) -> bool:
    """Whether head and embedding are one matrix, by a config.json and the weights beside it.

    Args:
        fields: of the config.json.
        files: the tensors of each file of weights.
    """
    where = {name: path for path, shapes in files.items() for name in shapes}
    head = next((name for name in _HEADS if name in where), None)
    if head is None or not says_tied(fields):
        return says_tied(fields)
    shape = files[where[head]][head]
    embeddings = (
        name
        for name, path in where.items()
        if name not in _HEADS
        and files[path][name] == shape
        and any(part in name for part in _EMBEDDINGS)
    )
    embedding = next(embeddings, None)
    if embedding is None:
        return True
    pieces = (tensor_pieces(where[name], name) for name in (head, embedding))
    return all(one == other for one, other in itertools.zip_longest(*pieces))
