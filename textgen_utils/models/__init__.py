"""Language models: one file each, one interface (`base.LanguageModel`) for all."""
