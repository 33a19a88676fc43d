"""Why a passage came: seeds, paths, sentences."""
