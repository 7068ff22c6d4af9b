"""One whole run: stages, resume, report."""

from emotion_interp.study.run import Study, run_study
from emotion_interp.study.settings import StudySettings

__all__ = ["Study", "StudySettings", "run_study"]
