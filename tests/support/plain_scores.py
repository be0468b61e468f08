"""The log-probability of a continuation in one plain forward pass."""

import torch


def plain_score(model, context, continuation):
    """Its nats, by an explicit softmax, and whether each of its tokens is the likeliest."""
    tokens = torch.tensor([*context, *continuation])[-model.config.context - 1 :]
    with torch.no_grad():
        log_probabilities = model(tokens[None, :-1])[0].double().log_softmax(-1)
    size = min(len(continuation), len(tokens) - 1)
    scored, targets = log_probabilities[-size:], tokens[-size:]
    nats = scored.gather(1, targets[:, None]).sum().item()
    return nats, scored.argmax(-1).equal(targets)
