"""Does the rule hold for this case?"""
