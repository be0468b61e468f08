"""`import raydistill.hf` registers our decoder with transformers; exported model cards say so."""

from raydistill.models.huggingface.transformers_palm import PalmConfig, PalmForCausalLM

__all__ = ["PalmConfig", "PalmForCausalLM"]
