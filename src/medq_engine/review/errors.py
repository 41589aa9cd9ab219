"""What the review page refuses, in words for whoever sits before it."""

from medq_engine.errors import MedqError


class ReviewError(MedqError):
    """A request that makes no sense or contradicts itself; nothing was written."""


class NotInBatchError(ReviewError):
    """A task or image that this page does not serve."""
