"""What went wrong in words for the user, as against a defect of the engine."""


class MedqError(Exception):
    """A message that names the file, line or key and what to do; shown without a traceback."""
