"""A batch in other people's tools and back: Label Studio and spreadsheets."""
