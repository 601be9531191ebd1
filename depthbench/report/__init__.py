"""Statistics, claims, rankings and renderers over finished results. Never imports torch."""
