"""What operators watch: health, the watchdog, the doctor, maintenance and metrics."""
