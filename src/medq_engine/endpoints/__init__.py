"""Models behind OpenAI-compatible servers: asked patiently, within limits, and never twice."""
