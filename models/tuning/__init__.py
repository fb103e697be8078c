"""Fine-tuning of the models of this layer: what is trained goes into a folder that the adapters load.

The rest of the work stands above: which texts belong together is asked of the search (`lab/finetune/held_out.py`), and
`lab/finetune/command.py` joins both. Needs the extra `finetune`; nothing here is imported until something is trained.
"""
