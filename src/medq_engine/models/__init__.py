"""Multimodal LLMs on this machine: loaded, asked and read, whatever their family."""
