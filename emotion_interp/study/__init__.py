"""One whole run: stages, resume, report."""

from emotion_interp.study.presets import PRESETS, Preset, preset, preset_settings
from emotion_interp.study.run import Study, run_study
from emotion_interp.study.settings import StudySettings

__all__ = ["PRESETS", "Preset", "Study", "StudySettings", "preset", "preset_settings", "run_study"]
