"""What a config says of quantisation."""

import pytest

from raydistill.models.huggingface.quantised.forms import form_of, without_quantisation
from support.quantised_models import FP8, INT4, MXFP4, ROWS, compressed


@pytest.mark.parametrize(
    ("settings", "words", "is_read"),
    [
        (FP8, "8-bit floats with a scale for each 128x128 block", True),
        ({"quant_method": "fp8"}, "8-bit floats with a scale for each tensor or row", True),
        (MXFP4, "MXFP4: 4-bit floats with a power of two for each 32 values", True),
        (ROWS, "8-bit floats with a scale for each tensor or row", True),
        (INT4, "4-bit integers with a scale for each 32 values", True),
        (
            compressed("pack-quantized", num_bits=4, type="int", actorder="group"),
            "4-bit integers with a scale for each row",
            False,
        ),
        (
            compressed("pack-quantized", num_bits=4, type="int", symmetric=False),
            "compressed-tensors, pack-quantized",
            False,
        ),
        ({"quant_method": "gptq", "bits": 4}, "gptq, 4 bits", False),
        ({"quant_method": "awq", "bits": 4}, "awq, 4 bits", False),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes, 4 bits", False),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "modelopt", False),
    ],
)
def test_each_form_has_words_and_is_read_or_not(settings, words, is_read):
    form = form_of({"model_type": "gpt_oss", "quantization_config": settings})
    assert (form.words, form.is_read) == (words, is_read)


def test_what_is_not_quantised_has_none():
    assert form_of({"model_type": "llama"}) is None
    assert form_of({"model_type": "llama", "quantization_config": None}) is None


def test_a_part_of_a_config_may_say_so():
    fields = {"model_type": "kimi_k25", "text_config": {"quantization_config": FP8, "a": 1}}
    assert form_of(fields).method == "fp8"
    assert without_quantisation(fields) == {"model_type": "kimi_k25", "text_config": {"a": 1}}


def test_mxfp4_of_another_type_is_not_read_as_transformers_has_no_way():
    assert not form_of({"model_type": "llama", "quantization_config": MXFP4}).is_read
