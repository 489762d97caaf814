"""Calibration: confidences that are probabilities, fitted on cases held out from training."""
