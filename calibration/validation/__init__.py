"""Predictions of the simulator beside what a real, small system does on this machine.

``python -m calibration.validation`` measures kernels and single engine steps, fits the step cost of this processor
to them, runs a real Cake (`calibration.validation.real_cake`), batched decodes and SR networks, and lets the
simulator predict what it has not seen. Nothing is fitted to what is predicted.
"""
