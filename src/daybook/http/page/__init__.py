"""The status page over HTTP: pages, forms, and the actions behind them."""
