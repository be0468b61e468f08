"""What can leave instead of layers that cannot."""

from raydistill.models.huggingface.surgery.layer_fields import fields_without
from raydistill.models.huggingface.surgery.nearest_sets import nearest

KINDS = (["sliding_attention"] * 4 + ["full_attention"]) * 6
SHARED = {"layer_types": KINDS, "num_kv_shared_layers": 10}  # by those of 18 and 19
JAMBA = {
    "attn_layer_period": 8, "attn_layer_offset": 4, "expert_layer_period": 2,
    "expert_layer_offset": 1,
}  # fmt: skip


def nearest_to(fields, count, gone):
    """The sets that are proposed; each of them can leave, and the ends stay."""
    kept = [layer for layer in range(count) if layer not in gone]
    sets = nearest(fields, count, kept, ends=False)
    for layers in sets:
        assert layers[0] > 0
        assert layers[-1] < count - 1
        fields_without(fields, count, [layer for layer in range(count) if layer not in layers])
    return sets


def test_one_layer_moves_by_one():
    fields = {"attn_layer_period": 2, "attn_layer_offset": 0}
    assert nearest_to(fields, 6, [1, 3])[0] in ([1, 2], [2, 3])


def test_as_few_layers_as_can_be_are_others():
    for layers in nearest_to(SHARED, 30, range(10, 20)):
        assert len(set(layers) & set(range(10, 20))) >= 7
        assert not {18, 19} & set(layers)


def test_where_no_set_of_as_many_can_a_span_of_about_as_many_is_named():
    for layers in nearest_to(JAMBA, 32, range(20, 27)):
        assert layers == list(range(layers[0], layers[-1] + 1))
        assert len(layers) in (6, 8)
        assert abs(layers[0] - 20) <= 5
