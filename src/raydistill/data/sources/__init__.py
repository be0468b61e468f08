"""Where text comes from: files, data sets of the hub, text that pip packages carry."""
