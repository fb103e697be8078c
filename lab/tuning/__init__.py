"""Fine-tuning of the bundled models: what is trained goes into a folder that the adapters load.

Which texts belong together is asked of the search (`lab/finetune/held_out.py`), and `lab/finetune/command.py` joins both. Needs the
extra `finetune`; nothing here is imported until something is trained.
"""
