"""What people type around `dvc repro`; each module declares its commands and carries them out."""
