"""MedQ-Bench in and out: the benchmark as the files that VLMEvalKit reads."""
