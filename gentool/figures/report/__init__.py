"""Write a report on measure files: one page of HTML that loads no other file.

page                    all sections, and the template that they fill
networks, drawings      the table with its columns; figures as SVG
verdicts, layers        claims and ranking; layer norms of each network
making                  how the numbers were made: settings, commands, definitions
svg                     Matplotlib's SVG as part of a page
templates/              the page, its style, and the script that sorts and filters
"""
