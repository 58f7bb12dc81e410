"""One module per kind of raw material, all with the contract of `services.curation.sources.source`."""
